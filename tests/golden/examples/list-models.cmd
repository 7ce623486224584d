partita list models
