"""Code that makes the bundled models: text generator, training, export. Never imported by users."""
