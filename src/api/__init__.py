"""The HTTP service and its page. Never imports torch: workers are processes of their own."""
