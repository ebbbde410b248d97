unit_test(restart engine)
unit_test(journal engine)
