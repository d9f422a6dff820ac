"""What the operations of the API do: a module for each thing that can be read or done."""
