"""After a promotion: does what answers live do as the alias says, and well enough to go on?"""
