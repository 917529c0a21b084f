package process

import _ "taskgrid/internal/bubble" // the tests run in synctest bubbles
