"""The console in a real browser: Debian's Chromium, without a display."""
