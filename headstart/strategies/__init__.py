"""What to train, when and on which loss, one file each."""
