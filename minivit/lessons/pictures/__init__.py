"""The lessons' larger pictures: functions of live arrays that return a matplotlib figure."""
