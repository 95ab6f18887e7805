"""Virtual machines: drivers, templates and clones, the jail. Knows nothing of pods or images."""
