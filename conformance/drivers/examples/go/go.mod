module claivexample

go 1.19
