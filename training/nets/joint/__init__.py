"""Parts of what a split student computes per pair: layers of slots and member, how tokens become slots, features."""
