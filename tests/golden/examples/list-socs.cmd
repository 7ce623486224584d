partita list socs
