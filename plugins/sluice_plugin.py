"""Register Sluice's plugin with an Airflow that has this folder as its plugins folder, and the package not installed.

Where it is installed, its entry point registers the plugin, and Airflow reports a second one of the same name as an error.
"""

from importlib.metadata import entry_points

if not entry_points(group="airflow.plugins", name="sluice"):
    from sluice.orchestration.plugin import SluicePlugin  # noqa: F401 - Airflow looks for it among the module's names
