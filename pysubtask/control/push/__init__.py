"""A one-off upload: ``place`` says where to, ``files`` what, ``record`` what the next run goes on from, ``sender`` sends."""
