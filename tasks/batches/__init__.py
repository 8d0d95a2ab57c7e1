"""What one worker at a time does for all batches: reads their files, passes their lines, ends them."""
