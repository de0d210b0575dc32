"""The page: server-rendered screens over the same functions that the API calls, live where there is JavaScript."""
