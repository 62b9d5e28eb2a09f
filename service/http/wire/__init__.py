"""How clients, bytes and paths arrive: the listening socket, compression, spellings of a path."""
