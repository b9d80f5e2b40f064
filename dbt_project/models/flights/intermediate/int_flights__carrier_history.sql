{{ late_history(by=['carrier'], days=28) }}
