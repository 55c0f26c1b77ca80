"""How the portal shows the language of rules to people: sentences, forms, faults and decisions."""
