printf 'Once upon a time there was a small mouse.' | partita tokenize data/partita-stories.gguf
printf '1 409 407 261 408' | partita tokenize --decode data/partita-stories.gguf
