"""Between the tables and `ml`: what is read, what is recorded, and in which words. `ml` itself knows neither."""
