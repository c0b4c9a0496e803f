"""What is to be computed: frozen, closed models with content ids. Nothing here computes."""
