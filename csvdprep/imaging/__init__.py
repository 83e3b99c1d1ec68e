"""Images, transforms and pictures: what reads, writes, moves and draws them."""
