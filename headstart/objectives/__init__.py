"""What a backbone learns from before any task: self-made tasks and labels, one file each."""
