"""Where events come from: files, the live client, the synthetic market.

Everything here yields chunks of market-by-order records (``qmachina.market.MBO_DTYPE``) in
file order and knows nothing of books. ``write`` is the way back: records into genuine DBN.
"""
