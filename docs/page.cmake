# Put the file COMMANDS in the place of the marked line of PAGE: OUT.
cmake_minimum_required(VERSION 3.20)
file(READ ${PAGE} page)
file(READ ${COMMANDS} commands)
string(REPLACE "@COMMANDS@\n" "\n${commands}" whole "${page}")
if(whole STREQUAL page)
    message(FATAL_ERROR "${PAGE}: no place for the commands")
endif()
file(WRITE ${OUT} "${whole}")
