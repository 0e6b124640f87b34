"""`python -m codec_plugin` is `codec-plugin`."""

from codec_plugin.cli import main

main()
