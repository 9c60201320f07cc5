"""Pages for installers and operators: they look at a site and give orders; nothing can write to a meter."""
