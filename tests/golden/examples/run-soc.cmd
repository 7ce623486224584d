# The digest of the logits is left out: sin, cos and exp are the C library's.
partita run data/partita-stories.gguf -p 'Olga was a' -n 60 --machine soc:sd8gen3 --policy hetero_tensor |
    sed 's/   logits .*//'
