"""Shows the language of rules to people: sentences, forms, faults and decisions."""
