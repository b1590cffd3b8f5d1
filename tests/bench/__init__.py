"""Measurements beside other tools, on logs whose truth is known; nothing here passes or fails a build."""
