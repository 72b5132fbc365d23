"""Small models whose weights come inside ordinary packages: no model hub, no accelerator."""
