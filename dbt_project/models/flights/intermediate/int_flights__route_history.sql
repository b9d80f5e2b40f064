{{ late_history(by=['origin', 'dest'], days=var('flights_history_days')) }}
