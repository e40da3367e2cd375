"""Anyone's stamps and labels: can a network tell the classes apart by what no lens decides?"""
