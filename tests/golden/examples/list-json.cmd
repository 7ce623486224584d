partita list encodings --json
