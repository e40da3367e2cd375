"""The run and the book: which steps there are, what each depends on, and the pages made from them."""
