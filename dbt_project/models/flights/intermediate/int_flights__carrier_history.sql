{{ late_history(ref('int_flights__days'), ref('stg_flights__arrivals'), by=['carrier'], days=var('flights_history_days')) }}
