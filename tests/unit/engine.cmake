unit_test(oomline engine)
unit_test(restart engine)
unit_test(journal engine)
unit_test(logpack engine)
