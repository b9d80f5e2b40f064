{{ late_history(by=['carrier'], days=var('flights_history_days')) }}
