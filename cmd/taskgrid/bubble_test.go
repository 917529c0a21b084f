package main

import _ "taskgrid/internal/bubble" // some tests run in synctest bubbles
