"""Media containers: demux, decode, remux, codecs, cuts, and the process that decodes what is not trusted."""
