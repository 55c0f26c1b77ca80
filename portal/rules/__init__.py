"""Shows the rules, and the language in which they are written, to people: sentences, forms, faults and decisions."""
