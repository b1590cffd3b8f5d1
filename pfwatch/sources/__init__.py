"""Where log lines come from: files that are followed, finished files, standard input. Leaves: blocks of whole lines."""
