"""How Sphinx renders the pages that ``scripts.handbook`` has put together."""

project = "Meterseal"
html_title = "Meterseal"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_copy_source = html_show_sourcelink = False
html_show_copyright = html_show_sphinx = False
highlight_language = "none"
nitpicky = True
