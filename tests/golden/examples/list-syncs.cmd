partita list syncs --options
