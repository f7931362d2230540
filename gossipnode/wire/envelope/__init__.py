"""betterproto, read strictly and written quickly. Nothing outside `wire` sees it."""
