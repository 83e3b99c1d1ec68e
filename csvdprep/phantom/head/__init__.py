"""What a head is made of: tissues, vessels, the places of lesions."""
