"""The ways a notification leaves the house: each takes a `Notification` and delivers it or says why not."""
