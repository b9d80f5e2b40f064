"""The pages inside the Airflow UI: evidence, what is held, and the forms that bring it back.

`sluice.web.app` serves them; nothing here imports Airflow, whose login, rights and runs are handed in by the plugin.
"""
