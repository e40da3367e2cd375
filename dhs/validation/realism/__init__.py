"""Can a probe tell two sets of stamps apart, and by what?"""
