"""Plain loops of the authors' procedures, written literally: nothing kept, torch's defaults.

They say what a script that follows the papers' reference code step by step costs. Random numbers come from
outside, the same as ours, so that both sides can be compared by what they compute; so do the augmentation's
operations, which are raydd's (`raydd.augment.DSA`).
"""
