"""Shows people the rules and the language of the rules: sentences, forms, faults and decisions."""
