unit_test(restart engine)
