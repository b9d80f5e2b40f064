{{ late_history(by=['origin', 'dest'], days=28) }}
